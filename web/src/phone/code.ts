/**
 * The code of a wall on site, which brought somebody here: taken out of the address as the page opens, so that no reload
 * and no shared link brings it a second time; good for seconds, and used once.
 */

// Scanned while the page was open: only the part behind # has changed.
addEventListener('hashchange', () => {
  if (location.hash.startsWith('#code=')) location.reload()
})
let brought = new URLSearchParams(location.hash.slice(1)).get('code') ?? ''
if (brought) history.replaceState(history.state, '', location.pathname + location.search)

export function takeCode(): string {
  const code = brought
  brought = ''
  return code
}
