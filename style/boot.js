// Starts the dashboard, and says in plain words when that cannot work. Trunk's `pattern_script` writes
// the two addresses.
const { js, wasm } = document.currentScript.dataset;

const fail = (what, todo) => {
  const splash = document.getElementById('splash');
  if (!splash) return;
  splash.classList.add('failed');
  splash.setAttribute('role', 'alert');
  document.getElementById('splash-title').textContent = what;
  document.getElementById('splash-text').textContent = todo;
};

// Brings what index.html keeps for a part of the program: app/src/components/later.rs. What does not
// come is asked for again the next time.
globalThis.beaconryBring = (part) => {
  const kept = document.getElementById(`part-${part}`)?.content.children ?? [];
  const bring = (one) => one.coming ??= new Promise((done) => {
    const copy = document.importNode(one, true);
    copy.onload = done;
    copy.onerror = () => {
      copy.remove();
      delete one.coming;
      done();
    };
    document.head.append(copy);
  });
  return Promise.all([...kept].map(bring));
};
// The program would ask for it only when it runs.
if (location.pathname.includes('/device/')) beaconryBring('device');

if (typeof WebAssembly !== 'object' || typeof WebAssembly.instantiate !== 'function') {
  fail('This browser cannot run Beaconry', 'WebAssembly is switched off or missing. A current Firefox, Chrome, Edge or Safari has it; some strict security modes turn it off.');
} else {
  import(js)
    .then((program) => program.default({ module_or_path: wasm }))
    .catch((error) => {
      console.error(error);
      fail('Beaconry could not be loaded', `Part of the program did not arrive or did not start. Reload the page; if that does not help, see whether the server is still running. (${error})`);
    });
}
