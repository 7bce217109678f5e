import { describe, expect, it } from 'vitest'
import type { Line, Noted } from '../src/desk/api'
import { stateOf, sumsOf } from '../src/desk/standing'
import type { Tick } from '../src/desk/ticks'

const noted = (fields: Partial<Noted> = {}): Noted => ({
  id: 1, activity: 1, sitting: 1, reference: 'r', method: 'group', happened_at: '', received_at: '', late: false,
  reason: null, confirmed_at: null, annulled_at: null, annul_reason: null, assisted: true, mine: true, ...fields,
}) // prettier-ignore
const line = (fields: Partial<Line> = {}): Line => ({
  member: 1, name: '张三', organisation: 1, standing: 'expected', check_ins: [], leave: null, made_up: false, ...fields,
}) // prettier-ignore
const approved = { id: 1, state: 'approved', reason: '' } as const

describe('how somebody stands', () => {
  it.each([
    [line(), 'missing'],
    [line({ standing: 'open' }), 'absent'],
    [line({ standing: 'guest' }), 'absent'],
    [line({ standing: 'exempt' }), 'exempt'],
    [line({ leave: approved }), 'leave'],
    [line({ leave: { ...approved, state: 'asked' } }), 'missing'],
    [line({ leave: approved, check_ins: [noted()] }), 'present'],
    [line({ check_ins: [noted({ sitting: 2 })] }), 'missing'],
    [line({ check_ins: [noted({ annulled_at: 'then' })] }), 'missing'],
    [line({ check_ins: [noted({ method: 'proxy' })] }), 'unconfirmed'],
    [line({ check_ins: [noted({ method: 'proxy', confirmed_at: 'then' })] }), 'present'],
    [line({ check_ins: [noted({ annulled_at: 'then' }), noted({ id: 2 })] }), 'present'],
  ])('%#', (one, state) => expect(stateOf(one, 1, undefined)).toBe(state))

  it('waits when there is a tick, unless it stands already', () => {
    const tick = { member: 1 } as Tick
    expect(stateOf(line(), 1, tick)).toBe('waiting')
    expect(stateOf(line({ check_ins: [noted()] }), 1, tick)).toBe('present')
  })
})

it('figures add up: expected are present, on leave, missing, or wait', () => {
  const lines = [
    line({ check_ins: [noted()] }), line({ member: 2 }), line({ member: 3, leave: approved }), line({ member: 4 }),
    line({ member: 5, standing: 'exempt' }), line({ member: 6, standing: 'guest', check_ins: [noted({ method: 'self' })] }),
  ] // prettier-ignore
  const sums = sumsOf(lines, 1, ({ member }) => (member === 4 ? ({ member } as Tick) : undefined))
  expect(sums).toEqual({
    expected: 4, present: 1, leave: 1, missing: 1, came: 2, waiting: 1, methods: [['group', 1], ['self', 1]],
  }) // prettier-ignore
})
