/** How somebody on the roll stands in a sitting: pure questions about a line and the ticks that wait. */

import type { Line, Noted } from './api'
import type { Tick } from './ticks'

export type State = 'present' | 'waiting' | 'unconfirmed' | 'leave' | 'exempt' | 'missing' | 'absent'

/** Whether a check-in counts: it was not taken back, and a proxy was confirmed by a second person. */
export const stands = (one: Noted): boolean =>
  one.annulled_at === null && (one.method !== 'proxy' || one.confirmed_at !== null)

export const standingOne = (line: Line, sitting: number): Noted | undefined =>
  line.check_ins.find((one) => one.sitting === sitting && stands(one))

export const unconfirmedOne = (line: Line, sitting: number): Noted | undefined =>
  line.check_ins.find((one) => one.sitting === sitting && one.annulled_at === null && !stands(one))

/** `absent` is said of nobody whom nobody expects: `missing` of an expected one, of others nothing. */
export function stateOf(line: Line, sitting: number, tick: Tick | undefined): State {
  if (standingOne(line, sitting)) return 'present'
  if (tick) return 'waiting'
  if (unconfirmedOne(line, sitting)) return 'unconfirmed'
  if (line.leave?.state === 'approved') return 'leave'
  if (line.standing === 'exempt') return 'exempt'
  return line.standing === 'expected' ? 'missing' : 'absent'
}

export interface Sums {
  expected: number
  present: number
  leave: number
  missing: number
  /** Who came, expected or not. */
  came: number
  waiting: number
  methods: [string, number][]
}

/** The figures of a roll, ticks that wait apart. */
export function sumsOf(lines: Line[], sitting: number, ticked: (line: Line) => Tick | undefined): Sums {
  const rows = lines.map((line) => ({ line, state: stateOf(line, sitting, ticked(line)) }))
  const count = (which: (row: (typeof rows)[number]) => boolean): number => rows.filter(which).length
  const expected = ({ line }: { line: Line }): boolean => line.standing === 'expected'
  const methods = new Map<string, number>()
  for (const line of lines) {
    const method = standingOne(line, sitting)?.method
    if (method) methods.set(method, (methods.get(method) ?? 0) + 1)
  }
  return {
    expected: count(expected),
    present: count((row) => expected(row) && row.state === 'present'),
    leave: count((row) => expected(row) && row.state === 'leave'),
    missing: count(({ state }) => state === 'missing'),
    came: count(({ state }) => state === 'present'),
    waiting: count(({ state }) => state === 'waiting'),
    methods: [...methods],
  }
}
