/**
 * Opens a page without a network: the one it is registered for, as it was last seen, and its hashed files. Nothing that
 * the API says is kept here.
 */
const PAGE = new URL(self.registration.scope).pathname
const CACHE = `chunshui${PAGE}1`

self.addEventListener('install', (event) => event.waitUntil(fetch(PAGE).then(keep).then(() => self.skipWaiting())))
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()))
self.addEventListener('fetch', (event) => {
  const { request } = event
  const { pathname } = new URL(request.url)
  if (request.method !== 'GET') return
  if (request.mode === 'navigate' && pathname === PAGE) event.respondWith(newest(event))
  else if (pathname.startsWith('/assets/')) event.respondWith(kept(request))
})

/** Keep a page with the files that it names; those of the one before go when it is another. */
async function keep(answer) {
  if (!answer.ok) return
  const cache = await caches.open(CACHE)
  const text = await answer.clone().text()
  const before = await (await cache.match(PAGE))?.text()
  const named = text.match(/\/assets\/[\w.-]+/g) ?? []
  await Promise.all(named.map(async (file) => (await cache.match(file)) ?? cache.add(file)))
  await cache.put(PAGE, answer)
  if (before === undefined || before === text) return
  for (const { url } of await cache.keys()) {
    if (![PAGE, ...named].includes(new URL(url).pathname)) await cache.delete(url)
  }
}

/** From the network while there is one. */
async function newest(event) {
  try {
    const answer = await fetch(event.request)
    event.waitUntil(keep(answer.clone()))
    return answer
  } catch (error) {
    return (await caches.match(PAGE)) ?? Promise.reject(error)
  }
}

/** A file whose name carries its hash never changes. */
async function kept(request) {
  const cache = await caches.open(CACHE)
  const found = await cache.match(request)
  if (found) return found
  const answer = await fetch(request)
  if (answer.ok) await cache.put(request, answer.clone())
  return answer
}
