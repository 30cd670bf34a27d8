//! Mounts the Beaconry dashboard.

use dashboard::app::App;

fn main() {
    leptos::mount::mount_to_body(App);
    // What index.html showed while this program was on its way.
    let splash = web_sys::window()
        .and_then(|window| window.document())
        .and_then(|document| document.get_element_by_id("splash"));
    if let Some(splash) = splash {
        splash.remove();
    }
}
