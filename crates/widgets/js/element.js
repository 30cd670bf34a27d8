// A custom element is a JavaScript class. This one tells Rust when an element comes, changes and
// goes. It knows no element in particular: what one draws is in its own module.

/// The broker that belongs to this script. The script stands in `embed/`, and the broker beside that.
export const ownBroker = () => new URL('../mqtt', import.meta.url).href;

function makeRoot(host, sheet) {
  const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' });
  root.adoptedStyleSheets = [sheet];
  return root;
}

/// Registers `name`. `begin(element, root, before)` gets the element, the root that it draws into and
/// the number of the instance whose place it takes; it returns its own number. `end(number)` ends an
/// instance. A page that loads the module twice keeps the first registration.
export function define(name, attributes, css, begin, end) {
  if (customElements.get(name)) return;
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  customElements.define(name, class extends HTMLElement {
    static observedAttributes = attributes.split(' ');
    #root;
    #number;
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
        if (!this.isConnected) {
          if (this.#number !== undefined) end(this.#number);
          this.#number = undefined;
        } else if (this.#changed || this.#number === undefined) {
          this.#changed = false;
          this.#root ??= makeRoot(this, sheet);
          this.#number = begin(this, this.#root, this.#number);
        }
      });
    }
  });
}
