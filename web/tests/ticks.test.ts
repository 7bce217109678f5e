import { beforeEach, describe, expect, it, vi } from 'vitest'
import { Problem } from '../src/api'
import type { Entry, EntryAnswer } from '../src/desk/api'
import { forgetAllOf, forgetOld, Ticks, waitingOf } from '../src/desk/ticks'

const AT = '2026-11-25T02:00:00.000Z'
const entry = (member: number): Entry => ({
  member, reference: `tick-of-${member}`, method: 'group', sitting: 1, happened_at: AT, reason: null,
}) // prettier-ignore
const accepted: EntryAnswer = { status: 201, check_in: null, problem: null }
const refused: EntryAnswer = { status: 409, check_in: null, problem: { code: 'already_checked_in', title: '已签到' } }
let kept: Record<string, string>

beforeEach(() => {
  kept = {}
  const store = {
    getItem: (key: string) => kept[key] ?? null,
    setItem: (key: string, value: string) => void (kept[key] = value),
    removeItem: (key: string) => void delete kept[key],
  }
  // As a browser's own: its keys are properties.
  vi.stubGlobal('localStorage', new Proxy(store, { ownKeys: () => Object.keys(kept), getOwnPropertyDescriptor }))
})
const getOwnPropertyDescriptor = () => ({ enumerable: true, configurable: true })

describe('ticks that wait', () => {
  it('are sent again to the letter after an answer was lost, over a reload too', async () => {
    const ticks = new Ticks(1, 2)
    ticks.add(entry(7))
    ticks.add(entry(8))
    const sent: Entry[][] = []
    const lose = async (entries: Entry[]): Promise<EntryAnswer[]> => {
      sent.push(entries)
      throw new Problem('unreachable', 0, '')
    }
    await expect(ticks.send(lose)).rejects.toThrow()
    const reloaded = new Ticks(1, 2)
    await reloaded.send(async (entries) => {
      sent.push(entries)
      return entries.map(() => accepted)
    })
    expect(sent[1]).toEqual(sent[0])
    expect(reloaded.all.value).toEqual([])
    expect(kept).toEqual({})
  })

  it('go on waiting, and are not sent in a circle, when an answer leaves some out', async () => {
    const ticks = new Ticks(1, 2)
    ticks.add(entry(7))
    const enter = vi.fn(async () => [])
    await expect(ticks.send(enter)).rejects.toThrow(Problem)
    expect(enter).toHaveBeenCalledTimes(1)
    expect(ticks.waiting.value.length).toBe(1)
  })

  it('are taken back as long as nobody was sent them', async () => {
    const ticks = new Ticks(1, 2)
    ticks.add(entry(7))
    expect(ticks.takeBack('tick-of-7')).toBe(true)
    ticks.add(entry(8))
    await expect(ticks.send(() => Promise.reject(new Problem('unreachable', 0, '')))).rejects.toThrow()
    expect(ticks.takeBack('tick-of-8')).toBe(false)
    expect(ticks.of(8, 1)?.sent).toBe(true)
  })

  it('that are refused stay until they are forgotten, and are not sent again', async () => {
    const ticks = new Ticks(1, 2)
    ticks.add(entry(7))
    ticks.add(entry(8))
    const enter = vi.fn(async (entries: Entry[]) => entries.map((one) => (one.member === 7 ? refused : accepted)))
    await ticks.send(enter)
    await ticks.send(enter)
    expect(enter).toHaveBeenCalledTimes(1)
    expect(ticks.refused.value.map((one) => [one.member, one.refusal?.code])).toEqual([[7, 'already_checked_in']])
    expect(ticks.of(7, 1)).toBeUndefined()
    ticks.forget('tick-of-7')
    expect(kept).toEqual({})
  })

  it('of two tabs are all kept, and what was added meanwhile is sent too', async () => {
    const [here, there] = [new Ticks(1, 2), new Ticks(1, 2)]
    here.add(entry(7))
    there.add(entry(8))
    const seen: number[] = []
    await here.send(async (entries) => {
      if (seen.length === 0) there.add(entry(9))
      seen.push(...entries.map(({ member }) => member))
      return entries.map(() => accepted)
    })
    expect(seen).toEqual([7, 8, 9])
  })

  it('are an organiser’s own, counted and forgotten with the log-in, and never older than any terms allow', () => {
    new Ticks(1, 2).add(entry(7))
    new Ticks(1, 3).add(entry(8))
    new Ticks(11, 2).add(entry(9))
    expect(waitingOf(1)).toBe(2)
    forgetAllOf(1)
    expect([waitingOf(1), waitingOf(11)]).toEqual([0, 1])
    forgetOld(Date.parse(AT) + 30 * 24 * 3600 * 1000)
    expect(waitingOf(11)).toBe(1)
    forgetOld(Date.parse(AT) + 32 * 24 * 3600 * 1000)
    expect(kept).toEqual({})
  })

  it('hold numbers, times and a method, and no name', () => {
    new Ticks(1, 2).add(entry(7))
    const [tick] = JSON.parse(Object.values(kept)[0]!) as object[]
    const fields = ['happened_at', 'member', 'method', 'reason', 'reference', 'refusal', 'sent', 'sitting']
    expect(Object.keys(tick!).sort()).toEqual(fields)
  })
})
