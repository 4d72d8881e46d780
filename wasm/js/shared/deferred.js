// A promise and what settles it.

export function deferred() {
  let resolve, reject;
  const promise = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  // Whoever waits for it hears of it; nobody may be waiting.
  promise.catch(() => {});
  return { promise, resolve, reject };
}
