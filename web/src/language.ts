/** Chinese first, English on request, remembered; numbers and times in the manner of the language. */

import { computed, ref, watchEffect } from 'vue'
import { en, zh, type MessageKey } from './messages'
import { recall, remember } from './storage'

export type Language = 'zh' | 'en'
const KEY = 'chunshui.language'

export const language = ref<Language>(recall(KEY) === 'en' ? 'en' : 'zh')
export const locale = computed(() => (language.value === 'zh' ? 'zh-CN' : 'en-GB'))

/** Keep the document's language in step and remember the choice. */
export function followLanguage(title: MessageKey): void {
  watchEffect(() => {
    remember(KEY, language.value)
    document.documentElement.lang = locale.value
    document.title = t(title)
  })
}

/** The text of `key` in the current language, `{names}` filled in. */
export function t(key: MessageKey, values: Record<string, string | number> = {}): string {
  const text: string = (language.value === 'zh' ? zh : en)[key]
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole))
}

export function number(value: number | null | undefined): string {
  return value == null ? '—' : new Intl.NumberFormat(locale.value).format(value)
}

type Moment = string | number | Date

function format(value: Moment, zone: string | undefined, options: Intl.DateTimeFormatOptions): string {
  const date = new Date(value)
  if (Number.isNaN(date.getTime())) return '—'
  try {
    return new Intl.DateTimeFormat(locale.value, { ...options, ...(zone ? { timeZone: zone } : {}) }).format(date)
  } catch {
    return new Intl.DateTimeFormat(locale.value, options).format(date) // a zone this browser does not know
  }
}

const CLOCK = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const
const DAY = { year: 'numeric', month: 'long', day: 'numeric', weekday: 'long' } as const

const SHORT_DAY = { month: 'long', day: 'numeric', weekday: 'short' } as const

export const clockTime = (value: Moment, zone?: string): string =>
  format(value, zone, { ...CLOCK, second: '2-digit' })
export const shortTime = (value: Moment, zone?: string): string => format(value, zone, CLOCK)
export const day = (value: Moment, zone?: string): string => format(value, zone, DAY)

/** "2026年11月23日星期一 09:00 – 10:30", the second day named only when it is another one. */
export function period(from: Moment, to: Moment, zone?: string): string {
  const [first, last] = [day(from, zone), day(to, zone)]
  const end = first === last ? shortTime(to, zone) : `${format(to, zone, SHORT_DAY)} ${shortTime(to, zone)}`
  return `${first} ${shortTime(from, zone)} – ${end}`
}

/** The zone's name as people say it, e.g. 中国标准时间. */
export function zoneName(zone: string): string {
  try {
    const parts = new Intl.DateTimeFormat(locale.value, { timeZone: zone, timeZoneName: 'long' }).formatToParts()
    return parts.find((part) => part.type === 'timeZoneName')?.value ?? zone
  } catch {
    return zone
  }
}
