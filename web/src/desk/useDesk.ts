/** The desk's state: who is logged in, which activity and which branch. Kept for the visit, so that it opens offline. */

import { ref } from 'vue'
import { organisers, Problem, type Activity, type LogIn, type Organiser } from '../api'
import { serverNow } from '../clock'
import { explain } from '../explain'
import { shelf, visit } from '../storage'
import { desk, type Branch, type Desk } from './api'
import { forgetAllOf, forgetOld } from './ticks'

const PREFIX = 'chunshui.desk.'
const KEY = `${PREFIX}opened`
/** Somebody has logged out here whose session may still be open. */
const LEAVING = 'chunshui.leaving'

interface Kept {
  organiser: Organiser
  desk: Desk
  branch: Branch | null
}

export function useDesk() {
  const organiser = ref<Organiser | null>(null)
  const opened = ref<Desk>({ branches: [], activities: [] })
  const activity = ref<Activity | null>(null)
  const branch = ref<Branch | null>(null)
  const ready = ref(false)
  const trouble = ref('')

  function keep(): void {
    if (!organiser.value) return
    visit.remember(KEY, JSON.stringify({ organiser: organiser.value, desk: opened.value, branch: branch.value }))
  }

  function choose(chosen: Activity | null): void {
    activity.value = chosen
    const address = chosen ? `?activity=${chosen.id}` : location.pathname
    if (`?${new URLSearchParams(location.search)}` !== address) history.pushState(null, '', address)
  }

  function chooseBranch(chosen: Branch | null): void {
    branch.value = chosen
    keep()
  }

  function follow(): void {
    const named = Number(new URLSearchParams(location.search).get('activity'))
    activity.value = opened.value.activities.find(({ id }) => id === named) ?? null
  }

  function show(who: Organiser, found: Desk, where: Branch | null): void {
    opened.value = found
    const [only, another] = found.branches
    branch.value = where ?? (only && !another && only.level === 'branch' ? only : null)
    organiser.value = who
    follow()
    keep()
  }

  async function enter(who: Organiser): Promise<void> {
    const may = !who.second_factor_missing && who.purposes.includes('roster')
    const before = kept()
    show(who, may ? await desk.open() : { branches: [], activities: [] }, before?.organiser.id === who.id ? before.branch : null)
    trouble.value = ''
    forgetOld(serverNow())
  }

  /** The log-in has ended: ticks that wait are kept for when their organiser comes back, names are not. */
  function ended(problem?: Problem): void {
    organiser.value = null
    trouble.value = problem && problem.code !== 'token_missing' ? explain(problem) : ''
    visit.keys(PREFIX).forEach((key) => visit.forget(key))
  }

  /** Log out, and keep nothing on this phone; without a network the session itself ends as soon as there is one. */
  async function logOut(): Promise<void> {
    if (organiser.value) forgetAllOf(organiser.value.id)
    shelf.remember(LEAVING, 'yes')
    ended()
    history.replaceState(null, '', location.pathname)
    await leave().catch(() => undefined)
  }

  async function leave(): Promise<void> {
    try {
      await organisers.logOut()
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 401) throw error
    }
    shelf.forget(LEAVING)
  }

  async function enterAnew(given: LogIn): Promise<void> {
    const who = await organisers.logIn(given)
    shelf.forget(LEAVING)
    await enter(who)
  }

  async function start(): Promise<void> {
    try {
      if (shelf.recall(LEAVING)) await leave()
      await enter(await organisers.me())
    } catch (error) {
      const before = kept()
      const away = error instanceof Problem && error.unanswered
      if (away && before) show(before.organiser, before.desk, before.branch)
      else if (error instanceof Problem && error.status === 401) ended()
      else trouble.value = explain(error)
    } finally {
      ready.value = true
    }
  }

  addEventListener('popstate', follow)
  void start()
  return {
    organiser, opened, activity, branch, ready, trouble, choose, chooseBranch, ended, logOut,
    logIn: enterAnew,
    enterAgain: async () => enter(await organisers.me()),
  } // prettier-ignore
}

function kept(): Kept | null {
  try {
    return JSON.parse(visit.recall(KEY) ?? 'null') as Kept | null
  } catch {
    return null
  }
}

export type DeskState = ReturnType<typeof useDesk>
