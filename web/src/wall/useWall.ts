/** The wall's state: who is logged in, and which activity, stream and nodes are shown. */

import { computed, ref, watch } from 'vue'
import { phase, streamNow, streamsOf } from '../activity'
import { organisers, Problem, type Activity, type LogIn, type Organiser, type Stream } from '../api'
import { serverNow } from '../clock'
import { explain } from '../explain'
import type { Watch } from '../live'
import { useFigures } from './useFigures'
import { useTrails } from './useTrails'

export function useWall() {
  const organiser = ref<Organiser | null>(null)
  const activities = ref<Activity[]>([])
  const activity = ref<Activity | null>(null)
  const stream = ref<Stream | null>(null)
  const ready = ref(false)
  const trouble = ref('')
  const trails = useTrails()
  const figures = useFigures(refused)

  const watching = computed<Watch | null>(() => {
    if (!stream.value) return null
    const [organisation, place] = [trails.organisation.value.slice(-1)[0], trails.place.value.slice(-1)[0]]
    return {
      stream: stream.value.id,
      ...(organisation ? { organisation: organisation.key as number } : {}),
      ...(place ? { place: place.key as string } : {}),
    }
  })
  watch(watching, (wanted) => {
    if (!wanted) return figures.close()
    figures.watch(wanted)
    trails.save(wanted.stream)
  })

  function refused(problem: Problem): void {
    if (problem.status === 401) forgetOrganiser()
    else if (problem.code !== 'stream_unknown') trails.clear() // a node that is not there, or not to be seen
    trouble.value = explain(problem)
  }

  function choose(chosen: Activity | null, wanted?: number): void {
    activity.value = chosen
    const found = chosen && streamsOf(chosen).find(({ id }) => id === wanted)
    watchStream(found ?? (chosen && streamNow(chosen, serverNow())))
  }

  function watchStream(chosen: Stream | null): void {
    trouble.value = ''
    if (chosen) trails.restore(chosen.id)
    stream.value = chosen
    history.replaceState(null, '', chosen ? `?activity=${activity.value?.id}&stream=${chosen.id}` : location.pathname)
  }

  /** The activity that the address names, else the only one, else the only one that is held now. */
  function chooseAtFirst(): void {
    const query = new URLSearchParams(location.search)
    const named = activities.value.find(({ id }) => id === Number(query.get('activity')))
    const current = activities.value.filter((one) => phase(one, serverNow()) === 'now')
    const [only, another] = activities.value.length > 1 ? current : activities.value
    if (named) choose(named, Number(query.get('stream')))
    else if (only && !another) choose(only)
  }

  async function enter(who: Organiser): Promise<void> {
    const may = !who.second_factor_missing && who.purposes.includes('activities')
    activities.value = may ? await organisers.activities() : []
    organiser.value = who
    trouble.value = ''
    chooseAtFirst()
  }

  function forgetOrganiser(): void {
    organiser.value = null
    activity.value = null
    stream.value = null
  }

  async function logOut(): Promise<void> {
    await organisers.logOut().catch(() => undefined)
    forgetOrganiser()
    trouble.value = ''
    history.replaceState(null, '', location.pathname)
  }

  async function start(): Promise<void> {
    try {
      await enter(await organisers.me())
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 401) trouble.value = explain(error)
    } finally {
      ready.value = true
    }
  }

  void start()
  return {
    organiser, activities, activity, stream, ready, trouble, trails, figures, choose, watchStream, logOut,
    logIn: async (given: LogIn) => enter(await organisers.logIn(given)),
    enterAgain: async () => enter(await organisers.me()),
  } // prettier-ignore
}

export type Wall = ReturnType<typeof useWall>
