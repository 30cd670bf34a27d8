//! Custom elements that show a device on any page.
