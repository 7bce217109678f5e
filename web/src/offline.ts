/** A page that opens without a network too, where the browser can (secure contexts only). */

export function keepForOffline(page: '/desk/' | '/gate/'): void {
  if ('serviceWorker' in navigator) void navigator.serviceWorker.register(`${page}worker.js`).catch(() => undefined)
}
