import { describe, expect, it } from 'vitest'
import type { Snapshot } from '../src/live'
import { doubts, extend, GAP_MS, line, merge, reading, recent, within, type Point } from '../src/wall/curve'

const at = (t: number, online = 1, basis: Point['basis'] = 'exact'): Point => ({
  t, online, connections: online, joined: online, checkedIn: 0, basis,
}) // prettier-ignore

describe('extend', () => {
  it('keeps the latest reading of each second', () => {
    const points = [at(1_000, 1), at(1_400, 2), at(2_100, 3)].reduce<Point[]>(extend, [])
    expect(points.map(({ t, online }) => [t, online])).toEqual([[1_400, 2], [2_100, 3]]) // prettier-ignore
  })

  it('puts a late reading where it belongs', () => {
    expect(extend([at(1_000), at(5_000)], at(3_000)).map(({ t }) => t)).toEqual([1_000, 3_000, 5_000])
  })

  it('thins old readings instead of growing for ever, and keeps both ends', () => {
    let points: Point[] = []
    for (let second = 0; second < 10_000; second++) points = extend(points, at(second * 1_000, second))
    expect(points.length).toBeLessThanOrEqual(3_000)
    expect([points[0]?.online, points[points.length - 1]?.online]).toEqual([0, 9_999])
    expect(points.filter(({ online }) => online > 9_500)).toHaveLength(499)
  })
})

describe('merge', () => {
  it('is in order of time, one point a moment, the later source first', () => {
    const merged = merge([at(2_000, 1), at(1_000, 1)], [at(2_000, 9)])
    expect(merged.map(({ t, online }) => [t, online])).toEqual([[1_000, 1], [2_000, 9]]) // prettier-ignore
  })
})

describe('line', () => {
  it('is broken where nothing was read', () => {
    const points = [at(0, 5), at(1_000, 6), at(1_000 + GAP_MS + 1, 7)]
    expect(line(points, 'online')).toEqual([[0, 5], [1_000, 6], [1_001, null], [1_001 + GAP_MS, 7]]) // prettier-ignore
  })
})

describe('doubts', () => {
  it('are the spans from the first degraded reading to the next exact one', () => {
    const points = [at(0), at(1_000, 1, 'degraded'), at(2_000, 1, 'degraded'), at(3_000), at(4_000, 1, 'degraded')]
    expect(doubts(points)).toEqual([[1_000, 3_000], [4_000, 4_000]]) // prettier-ignore
  })

  it('do not reach over a gap', () => {
    const points = [at(0, 1, 'degraded'), at(GAP_MS + 1)]
    expect(doubts(points)).toEqual([[0, 0]])
  })
})

it('outages are shown as far as the points reach', () => {
  const points = [at(1_000), at(9_000)]
  expect(within([[0, 500], [500, 2_000], [3_000, 4_000], [8_000, 20_000]], points)).toEqual(
    [[1_000, 2_000], [3_000, 4_000], [8_000, 9_000]],
  ) // prettier-ignore
  expect(within([[0, 500]], [])).toEqual([])
})

it('recent counts from the last reading', () => {
  const points = [at(0), at(60_000), at(90_000)]
  expect(recent(points, 30_000).map(({ t }) => t)).toEqual([60_000, 90_000])
  expect(recent(points, null)).toHaveLength(3)
})

it('a snapshot without a number is no reading', () => {
  const snapshot = { as_of: '2026-11-23T09:00:00Z', online: null, basis: 'degraded', reason: 'valkey' }
  expect(reading(snapshot as Snapshot)).toBeNull()
})
