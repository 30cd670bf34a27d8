//! What the standard library does elsewhere, in the few bytes that the bundle has for it.

use core::panic::PanicInfo;

/// A bug stops the widgets, as it would with the standard library, which would add kilobytes to
/// write a message that no visitor of the page could use.
#[panic_handler]
fn stop(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// An eighth of the size of the standard library's allocator, and as quick.
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();
