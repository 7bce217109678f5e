/** The curve as plain data: recorded points and live readings in one order, gaps shown as gaps, doubt as spans. */

import type { Basis, CurvePoint } from '../api'
import type { Snapshot } from '../live'

export interface Point {
  t: number
  online: number
  connections: number
  joined: number
  checkedIn: number
  basis: Basis
}

/** Readings further apart than this are not joined by a line. */
export const GAP_MS = 20_000
/** Fresh readings are kept one a second, older ones as far apart as the recorded points. */
const FRESH_MS = 600_000
const FRESH_STEP_MS = 1_000
const OLD_STEP_MS = 5_000
const TOO_MANY = 3_000

/** A time without exact figures. */
export type Span = [number, number]

export function recorded(point: CurvePoint): Point {
  const { at, online, connections, joined, checked_in } = point
  return { t: Date.parse(at), online, connections, joined, checkedIn: checked_in, basis: 'exact' }
}

/** The reading of a snapshot; null while it has no number to show. */
export function reading(snapshot: Snapshot): Point | null {
  const { online, connections, joined, checked_in, basis } = snapshot
  if (online === null || snapshot.reason === 'valkey') return null
  return {
    t: Date.parse(snapshot.as_of),
    online,
    connections: connections ?? 0,
    joined: joined ?? 0,
    checkedIn: checked_in ?? 0,
    basis,
  }
}

/** `points` with `next` added: one reading a second, the latest of each. */
export function extend(points: readonly Point[], next: Point): Point[] {
  const last = points[points.length - 1]
  if (!last) return [next]
  if (next.t < last.t) return merge(points, [next])
  const same = bucket(next.t, FRESH_STEP_MS) === bucket(last.t, FRESH_STEP_MS)
  const longer = [...(same ? points.slice(0, -1) : points), next]
  return longer.length > TOO_MANY ? thin(longer, next.t - FRESH_MS) : longer
}

const bucket = (t: number, step: number): number => Math.floor(t / step)

/** One reading in five seconds before `fresh`, all from then on. */
function thin(points: readonly Point[], fresh: number): Point[] {
  return points.filter((point, index) => {
    const before = points[index - 1]
    return point.t >= fresh || !before || bucket(point.t, OLD_STEP_MS) !== bucket(before.t, OLD_STEP_MS)
  })
}

/** Both in order of time, one for each moment; `more` wins. */
export function merge(points: readonly Point[], more: readonly Point[]): Point[] {
  const byTime = new Map<number, Point>()
  for (const point of [...points, ...more]) byTime.set(point.t, point)
  return [...byTime.values()].sort((a, b) => a.t - b.t)
}

export type Line = [number, number | null][]

/** The line of one figure, broken where nothing was read. */
export function line(points: readonly Point[], figure: 'online' | 'joined' | 'checkedIn'): Line {
  const result: Line = []
  let before: number | null = null
  for (const point of points) {
    if (before !== null && point.t - before > GAP_MS) result.push([before + 1, null])
    result.push([point.t, point[figure]])
    before = point.t
  }
  return result
}

/** The spans of time in which the figure was not exact. */
export function doubts(points: readonly Point[]): Span[] {
  const spans: Span[] = []
  let open: Span | null = null
  for (const point of points) {
    if (open && (point.basis === 'exact' || point.t - open[1] > GAP_MS)) {
      spans.push(point.basis === 'exact' && point.t - open[1] <= GAP_MS ? [open[0], point.t] : open)
      open = null
    }
    if (point.basis === 'degraded') open = open ? [open[0], point.t] : [point.t, point.t]
  }
  return open ? [...spans, open] : spans
}

/** The part of `spans` that lies between the first and the last of `points`. */
export function within(spans: readonly Span[], points: readonly Point[]): Span[] {
  const [first, last] = [points[0]?.t ?? 0, points[points.length - 1]?.t ?? 0]
  const cut = spans.map(([from, to]): Span => [Math.max(from, first), Math.min(to, last)])
  return cut.filter(([from, to]) => from < to)
}

/** The part of `points` that starts `ms` before the last one; all of them for null. */
export function recent(points: readonly Point[], ms: number | null): readonly Point[] {
  const last = points[points.length - 1]
  if (ms === null || !last) return points
  const first = points.findIndex((point) => point.t >= last.t - ms)
  return points.slice(first)
}
