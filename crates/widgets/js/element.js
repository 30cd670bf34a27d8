// A custom element needs a JavaScript class; everything that it does is done in Rust.

/// Where this module was loaded from: the broker's own address.
export function moduleUrl() {
  return import.meta.url;
}

/// Registers `name`. Each callback gets the element; a page that loads the module twice
/// keeps the first registration.
export function define(name, observed, connected, disconnected, changed) {
  if (customElements.get(name)) return;
  customElements.define(name, class extends HTMLElement {
    static observedAttributes = observed;

    connectedCallback() {
      connected(this);
    }

    disconnectedCallback() {
      disconnected(this);
    }

    attributeChangedCallback() {
      if (this.isConnected) changed(this);
    }
  });
}
