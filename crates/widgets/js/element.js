// A custom element is a JavaScript class. This one begins an instance when an element comes or one of
// its attributes changes, and ends it. It knows no element in particular.

function makeRoot(host, sheet) {
  const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' });
  root.adoptedStyleSheets = [sheet];
  return root;
}

/// Registers `name`. `begin(element, root)` gets the element and the root that it draws into, and
/// returns an instance with a method `end`. A page that loads the module twice keeps the first
/// registration.
export function define(name, attributes, css, begin) {
  if (customElements.get(name)) return;
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  customElements.define(name, class extends HTMLElement {
    static observedAttributes = attributes;
    #root;
    #instance;
    #changed = false;
    #asked = false;

    connectedCallback() {
      this.#ask();
    }

    disconnectedCallback() {
      this.#ask();
    }

    attributeChangedCallback(_name, before, after) {
      this.#changed ||= before !== after;
      this.#ask();
    }

    // Once for everything that one task does: attributes set one after the other, a move in the page.
    #ask() {
      if (this.#asked) return;
      this.#asked = true;
      queueMicrotask(() => {
        this.#asked = false;
        const before = this.#instance;
        if (!this.isConnected) {
          this.#instance = undefined;
        } else if (this.#changed || !before) {
          this.#changed = false;
          this.#root ??= makeRoot(this, sheet);
          // The new instance begins before the old one ends, so that a connection that both use stays
          // open.
          this.#instance = begin(this, this.#root);
        } else {
          return;
        }
        before?.end();
      });
    }
  });
}
