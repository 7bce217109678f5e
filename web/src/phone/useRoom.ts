/** One member's visit to a stream: in, out, and what the count is. */

import { onScopeDispose, ref, shallowRef } from 'vue'
import type { Problem, Stream } from '../api'
import { explain } from '../explain'
import { Room, type Call, type Count, type Presence } from '../live'
import type { MemberSession } from '../session'

const insideKey = (stream: number): string => `chunshui.inside.${stream}`

export function useRoom(stream: Stream, session: MemberSession) {
  const presence = ref<Presence>('left')
  const count = shallowRef<Count | null>(null)
  const call = shallowRef<Call | null>(null)
  const refusal = ref('')
  let room: Room | null = null

  function refused(problem: Problem): void {
    sessionStorage.removeItem(insideKey(stream.id))
    refusal.value = explain(problem)
    if (problem.status === 401) session.close(problem)
  }

  function enter(): void {
    room?.leave()
    refusal.value = ''
    count.value = null
    sessionStorage.setItem(insideKey(stream.id), '1')
    room = new Room(stream.gateway ?? '', stream.id, credentials, {
      presence: (next) => (presence.value = next),
      count: (next) => (count.value = next),
      called: (next) => (call.value = next),
      refused,
    })
  }

  const credentials = {
    get access() {
      return session.access
    },
    renew: (stale: string) => session.renew(stale),
  }

  function leave(): void {
    sessionStorage.removeItem(insideKey(stream.id))
    room?.leave()
    room = null
  }

  /** The page goes: say so at once. It may come back from the browser's cache: then enter again. */
  const hide = (): void => room?.leave()
  const show = (event: PageTransitionEvent): void => {
    if (event.persisted && room) enter()
  }
  addEventListener('pagehide', hide)
  addEventListener('pageshow', show)
  onScopeDispose(() => {
    removeEventListener('pagehide', hide)
    removeEventListener('pageshow', show)
    room?.leave()
  })

  if (sessionStorage.getItem(insideKey(stream.id))) enter() // a reload does not throw anybody out
  return { presence, count, call, refusal, enter, leave }
}
