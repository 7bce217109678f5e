import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { effectScope, ref, type Ref } from 'vue'
import { GAP_MS, type Point } from '../src/wall/curve'
import { holdingAt, useReplay } from '../src/wall/useReplay'

const at = (t: number): Point => ({ t, online: t, connections: 0, joined: 0, checkedIn: 0, basis: 'exact' })
const HOUR = 3_600_000

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('the reading that holds', () => {
  it('is the last one before the moment, and none before the first or in a gap', () => {
    const points = [at(1_000), at(6_000), at(6_000 + 2 * GAP_MS)]
    const held = [0, 1_000, 5_999, 6_000, 6_000 + GAP_MS, 6_001 + GAP_MS].map((t) => holdingAt(points, t)?.t ?? null)
    expect(held).toEqual([null, 1_000, 1_000, 6_000, 6_000, null])
    expect(holdingAt([], 5)).toBeNull()
  })
})

describe('replay', () => {
  const opened = (points: Ref<readonly Point[]>) => {
    const replay = effectScope().run(() => useReplay(points))!
    replay.open()
    return replay
  }

  it('plays a whole day in half a minute and then stands still', () => {
    const replay = opened(ref([at(0), at(2 * HOUR)]))
    vi.advanceTimersByTime(15_000)
    expect(replay.elapsed.value).toBeCloseTo(HOUR, -5)
    vi.advanceTimersByTime(16_000)
    expect([replay.elapsed.value, replay.playing.value]).toEqual([2 * HOUR, false])
    replay.play()
    expect([replay.elapsed.value, replay.playing.value]).toEqual([0, true])
  })

  it('does not change under the hand: seeking pauses, later readings stay outside', () => {
    const points: Ref<readonly Point[]> = ref([at(0), at(10_000)])
    const replay = opened(points)
    replay.seek(4_000)
    points.value = [...points.value, at(20_000)]
    vi.advanceTimersByTime(5_000)
    expect([replay.elapsed.value, replay.length.value]).toEqual([4_000, 10_000])
  })

  it('is over when closed', () => {
    const replay = opened(ref([at(0), at(10_000)]))
    replay.close()
    vi.advanceTimersByTime(5_000)
    expect([replay.elapsed.value, replay.point.value]).toEqual([0, null])
  })
})
