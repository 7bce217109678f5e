/** The desk's REST calls: the roll of a branch, ticks in one batch, corrections, refusals, leave. */

import { call, type Activity, type CheckIn, type Named } from '../api'

export const METHODS = ['group', 'proxy', 'paper'] as const
export type Method = (typeof METHODS)[number]

export interface Branch extends Named {
  level: string
}
export interface Desk {
  branches: Branch[]
  activities: Activity[]
}
export interface Noted extends CheckIn {
  late: boolean
  reason: string | null
  confirmed_at: string | null
  annulled_at: string | null
  annul_reason: string | null
  /** Entered by an organiser, and by this one. */
  assisted: boolean
  mine: boolean
}
export interface Line {
  member: number
  name: string
  organisation: number
  standing: 'expected' | 'exempt' | 'guest' | 'open'
  check_ins: Noted[]
  leave: { id: number; state: 'asked' | 'approved' | 'declined'; reason: string } | null
  made_up: boolean
}
export interface Roll {
  frozen: boolean
  as_of: string
  roll: Line[]
}
export interface Entry {
  member: number
  reference: string
  method: Method
  sitting: number
  happened_at: string
  reason: string | null
}
export interface EntryAnswer {
  status: number
  check_in: CheckIn | null
  problem: { code: string; title: string } | null
}
export interface Refusal {
  id: number
  member: number
  reference: string
  method: string
  code: string
  title: string
  received_at: string
}

const of = (activity: number): string => `/activities/${activity}`
const get = async <T>(path: string): Promise<T> => (await call<T>('GET', path)).body
const put = async (path: string, body?: unknown): Promise<void> => void (await call('PUT', path, { body }))

export const desk = {
  open: (): Promise<Desk> => get<Desk>('/organisers/desk'),
  children: async (node: number): Promise<Branch[]> =>
    (await get<{ organisations: Branch[] }>(`/organisations/${node}/children`)).organisations,
  /** The whole roll of a node, page by page. */
  roll: async (activity: number, node: number): Promise<Roll> => {
    const lines: Line[] = []
    let after = ''
    for (;;) {
      const query = `node=${node}${after && `&after=${encodeURIComponent(after)}`}`
      const page = await get<Roll & { after: string | null }>(`${of(activity)}/roll?${query}`)
      lines.push(...page.roll)
      if (page.after === null) return { frozen: page.frozen, as_of: page.as_of, roll: lines }
      after = page.after
    }
  },
  enter: async (activity: number, entries: Entry[]): Promise<EntryAnswer[]> =>
    (
      await call<{ answers: EntryAnswer[] }>('POST', `${of(activity)}/check-ins/batch`, {
        body: { check_ins: entries },
      })
    ).body.answers,
  annul: async (activity: number, checkIn: number, reason: string): Promise<void> =>
    void (await call('POST', `${of(activity)}/check-ins/${checkIn}/annulment`, { body: { reason } })),
  /** Take back what one entered oneself a moment ago: the member may still come by himself. */
  undo: async (activity: number, member: number, reference: string): Promise<void> =>
    void (await call('DELETE', `${of(activity)}/members/${member}/check-ins/${reference}`)),
  confirm: (activity: number, checkIn: number): Promise<void> =>
    put(`${of(activity)}/check-ins/${checkIn}/confirmation`),
  decide: (activity: number, leave: number, approved: boolean): Promise<void> =>
    put(`${of(activity)}/leaves/${leave}/decision`, { approved }),
  refusals: async (activity: number): Promise<Refusal[]> =>
    (await get<{ refusals: Refusal[] }>(`${of(activity)}/check-in-refusals`)).refusals,
  settle: (activity: number, refusal: number, settlement: string): Promise<void> =>
    put(`${of(activity)}/check-in-refusals/${refusal}/settlement`, { settlement }),
}
