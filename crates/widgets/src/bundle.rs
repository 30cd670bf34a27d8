//! The panic handler and the allocator, in fewer bytes than those of the standard library.

use core::panic::PanicInfo;

/// A panic stops the widgets, as it would with the standard library. That would add kilobytes for a
/// message that no visitor of the page could use.
#[panic_handler]
fn stop(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// This allocator has an eighth of the size of the standard library's, and is as quick.
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();
