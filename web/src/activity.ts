/** Questions about an activity that both pages ask. */

import type { Activity, Sitting, Stream } from './api'

export type Phase = 'now' | 'soon' | 'over'

/** Whether any stream is open at `now`, will be, or all are over. */
export function phase(activity: Activity, now: number): Phase {
  const windows = streamsOf(activity).map(({ opens_at, closes_at }) => [Date.parse(opens_at), Date.parse(closes_at)])
  if (windows.some(([from, to]) => from! <= now && now < to!)) return 'now'
  return windows.some(([from]) => now < from!) ? 'soon' : 'over'
}

export const streamsOf = (activity: Activity): Stream[] => activity.sittings.flatMap((sitting) => sitting.streams)

/** The stream to open first: one that is open now, else the next, else the last. */
export function streamNow(activity: Activity, now: number): Stream | null {
  const streams = streamsOf(activity)
  const current = streams.find((s) => Date.parse(s.opens_at) <= now && now < Date.parse(s.closes_at))
  return current ?? streams.find((s) => now < Date.parse(s.opens_at)) ?? streams[streams.length - 1] ?? null
}

/** The sitting that `now` falls into, else the next, else the last. */
export function sittingNow(activity: Activity, now: number): Sitting | null {
  const { sittings } = activity
  return sittings.find((s) => now < Date.parse(s.ends_at)) ?? sittings[sittings.length - 1] ?? null
}

type Tier = Activity['organisers'][number]['tier']

/** Organisers by tier, in their own order, tiers without any left out. */
export function tiers(activity: Activity): { tier: Tier; names: string[] }[] {
  return (['lead', 'undertaking', 'assisting'] as const)
    .map((tier) => ({ tier, names: activity.organisers.filter((o) => o.tier === tier).map((o) => o.name) }))
    .filter(({ names }) => names.length > 0)
}
