/** The figures of the watched stream: the latest snapshot, the curve so far, and whether the feed is connected. */

import { onScopeDispose, ref, shallowRef } from 'vue'
import { organisers, type Problem } from '../api'
import { Feed, supersedes, type Snapshot, type Watch } from '../live'
import { extend, merge, reading, recorded, type Point, type Span } from './curve'

export function useFigures(refused: (problem: Problem) => void) {
  const snapshot = shallowRef<Snapshot | null>(null)
  const points = shallowRef<Point[]>([])
  /** The recorded times without exact figures. */
  const outages = shallowRef<Span[]>([])
  const connected = ref(false)
  let feed: Feed | null = null
  let watched: number | null = null

  function received(next: Snapshot): void {
    if (!supersedes(next, snapshot.value)) return
    snapshot.value = next
    const point = reading(next)
    if (point) points.value = extend(points.value, point)
  }

  /** Show this stream and node from now on; another stream starts from nothing. */
  function watch(wanted: Watch): void {
    if (watched !== wanted.stream) forget()
    watched = wanted.stream
    feed ??= new Feed({ snapshot: received, connected: (is) => (connected.value = is), refused })
    feed.watch(wanted)
  }

  function forget(): void {
    snapshot.value = null
    points.value = []
    outages.value = []
  }

  function close(): void {
    feed?.close()
    feed = null
    watched = null
    connected.value = false
    forget()
  }

  /** Read the recorded curve of `stream` into the points. */
  async function loadCurve(stream: number): Promise<void> {
    const curve = await organisers.curve(stream)
    if (watched !== stream) return
    points.value = merge(curve.points.map(recorded), points.value)
    outages.value = curve.outages.map(({ from, to }) => [Date.parse(from), Date.parse(to)])
  }

  onScopeDispose(close)
  return { snapshot, points, outages, connected, watch, close, loadCurve }
}
