/**
 * Ticks that the server has not answered yet: kept on this phone, sent as one batch, and gone once they are answered.
 *
 * A tick is numbers, times and a method, no name. What is sent a second time is the same to the letter, so it counts
 * once. One that may have been sent is no longer taken back here: it may stand. A refused one stays until somebody has
 * settled it.
 */

import { computed, ref, type ComputedRef, type Ref } from 'vue'
import { Problem } from '../api'
import { shelf } from '../storage'
import type { Entry, EntryAnswer } from './api'

export interface Tick extends Entry {
  /** Whether it was sent at least once. */
  sent: boolean
  refusal: { code: string; title: string } | null
}

const PREFIX = 'chunshui.ticks.'
const MOST = 500
/** Older ones no server takes any more, whatever an activity's terms say. */
const OLDEST_MS = 31 * 24 * 3600 * 1000

export class Ticks {
  private readonly key: string
  readonly all: Ref<Tick[]>
  readonly waiting: ComputedRef<Tick[]>
  readonly refused: ComputedRef<Tick[]>

  constructor(organiser: number, activity: number) {
    this.key = `${PREFIX}${organiser}.${activity}`
    this.all = ref(read(this.key))
    this.waiting = computed(() => this.all.value.filter((tick) => tick.refusal === null))
    this.refused = computed(() => this.all.value.filter((tick) => tick.refusal !== null))
  }

  of(member: number, sitting: number): Tick | undefined {
    return this.waiting.value.find((tick) => tick.member === member && tick.sitting === sitting)
  }

  add(entry: Entry): void {
    this.change((kept) => [...kept, { ...entry, sent: false, refusal: null }])
  }

  /** Take a tick back that no server has seen; whether it was one. */
  takeBack(reference: string): boolean {
    const tick = read(this.key).find((one) => one.reference === reference)
    if (tick === undefined || tick.sent) return false
    this.forget(reference)
    return true
  }

  forget(reference: string): void {
    this.change((kept) => kept.filter((tick) => tick.reference !== reference))
  }

  /** Send all that wait; the answers. Whatever keeps the whole from being answered is thrown, and all go on waiting. */
  async send(enter: (entries: Entry[]) => Promise<EntryAnswer[]>): Promise<EntryAnswer[]> {
    const answers: EntryAnswer[] = []
    for (;;) {
      this.all.value = read(this.key)
      const batch = this.waiting.value.slice(0, MOST)
      if (batch.length === 0) return answers
      const sent = new Set(batch.map(({ reference }) => reference))
      this.change((kept) => kept.map((tick) => (sent.has(tick.reference) ? { ...tick, sent: true } : tick)))
      const told = await enter(batch.map(bare))
      if (told.length !== batch.length) throw new Problem('unexpected', 500, '')
      const fates = new Map(batch.map(({ reference }, at) => [reference, told[at]]))
      this.change((kept) => kept.flatMap((tick) => afterwards(tick, fates.get(tick.reference))))
      answers.push(...told)
    }
  }

  /** Read anew each time: another tab may have written meanwhile. */
  private change(how: (kept: Tick[]) => Tick[]): void {
    const left = how(read(this.key))
    if (left.length === 0) shelf.forget(this.key)
    else shelf.remember(this.key, JSON.stringify(left))
    this.all.value = left
  }
}

/** How many ticks of this organiser wait, of any activity. */
export const waitingOf = (organiser: number): number =>
  shelf.keys(`${PREFIX}${organiser}.`).reduce((sum, key) => sum + read(key).filter((tick) => !tick.refusal).length, 0)

/** Forget all ticks of this organiser, sent or not. */
export const forgetAllOf = (organiser: number): void =>
  shelf.keys(`${PREFIX}${organiser}.`).forEach((key) => shelf.forget(key))

/** Forget what is too old to be sent, whosever it is. */
export function forgetOld(now: number): void {
  for (const key of shelf.keys(PREFIX)) {
    if (read(key).every((tick) => Date.parse(tick.happened_at) < now - OLDEST_MS)) shelf.forget(key)
  }
}

const bare = ({ member, reference, method, sitting, happened_at, reason }: Tick): Entry => ({
  member, reference, method, sitting, happened_at, reason,
}) // prettier-ignore

function afterwards(tick: Tick, fate: EntryAnswer | undefined): Tick[] {
  if (fate === undefined) return [tick]
  return fate.problem ? [{ ...tick, refusal: { code: fate.problem.code, title: fate.problem.title } }] : []
}

function read(key: string): Tick[] {
  try {
    const kept = JSON.parse(shelf.recall(key) ?? '[]') as Tick[]
    return Array.isArray(kept) ? kept : []
  } catch {
    return []
  }
}
