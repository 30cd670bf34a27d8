//! The title of the browser's tab.

/// Sets what the browser's tab says.
pub fn set_title(title: &str) {
    if let Some(document) = web_sys::window().and_then(|window| window.document()) {
        if document.title() != title {
            document.set_title(title);
        }
    }
}
