// A worker that offers a service and calls it.

import { Home } from '/pkg/index.js';

onmessage = async ({ data: main }) => {
  const home = await Home.connect(main, { nodeId: 'worker' });
  await home.register('in-worker', { double: ([n]) => 2 * n });
  await home.connected();
  for (;;) {
    const result = await home.call('in-worker.double', [4]).catch(() => undefined);
    if (result !== undefined) return postMessage(result);
  }
};
