/** The wall's state: who is logged in, what is watched, the latest snapshot and the curve so far. */

import { computed, onScopeDispose, ref, shallowRef, watch } from 'vue'
import { phase, streamNow, streamsOf } from '../activity'
import { organisers, Problem, type Activity, type Organiser, type Stream } from '../api'
import { serverNow } from '../clock'
import { explain } from '../explain'
import { Feed, supersedes, type Snapshot, type Watch } from '../live'
import { extend, merge, reading, recorded, type Point } from './curve'

export interface Step {
  key: number | string
  name: string
}

interface Trails {
  organisation: Step[]
  place: Step[]
}

const trailKey = (stream: number): string => `chunshui.trails.${stream}`

/** Where the wall had gone down to before a reload. */
function recallTrails(stream: number | undefined): Trails {
  const kept = stream === undefined ? null : sessionStorage.getItem(trailKey(stream))
  return kept ? (JSON.parse(kept) as Trails) : { organisation: [], place: [] }
}

export function useWall() {
  const organiser = ref<Organiser | null>(null)
  const activities = ref<Activity[]>([])
  const activity = ref<Activity | null>(null)
  const stream = ref<Stream | null>(null)
  const snapshot = shallowRef<Snapshot | null>(null)
  const points = shallowRef<Point[]>([])
  const connected = ref(false)
  const ready = ref(false)
  const trouble = ref('')
  /** The way down from the roots; empty is the roots themselves. */
  const organisationTrail = ref<Step[]>([])
  const placeTrail = ref<Step[]>([])
  let feed: Feed | null = null

  const watching = computed<Watch | null>(() => {
    if (!stream.value) return null
    const [organisation, place] = [organisationTrail.value.at(-1), placeTrail.value.at(-1)]
    return {
      stream: stream.value.id,
      ...(organisation ? { organisation: organisation.key as number } : {}),
      ...(place ? { place: place.key as string } : {}),
    }
  })
  watch(watching, (wanted) => {
    if (!wanted) return
    feed?.watch(wanted)
    const trails: Trails = { organisation: organisationTrail.value, place: placeTrail.value }
    sessionStorage.setItem(trailKey(wanted.stream), JSON.stringify(trails))
  })

  function received(next: Snapshot): void {
    if (!supersedes(next, snapshot.value)) return
    snapshot.value = next
    const point = reading(next)
    if (point) points.value = extend(points.value, point)
  }

  function refused(problem: Problem): void {
    if (problem.status === 401) forgetOrganiser()
    else if (problem.code !== 'stream_unknown') [organisationTrail.value, placeTrail.value] = [[], []]
    trouble.value = explain(problem)
  }

  function openFeed(): void {
    feed ??= new Feed({ snapshot: received, connected: (is) => (connected.value = is), refused })
    if (watching.value) feed.watch(watching.value)
  }

  function closeFeed(): void {
    feed?.close()
    feed = null
    connected.value = false
  }

  async function loadCurve(id: number): Promise<void> {
    try {
      const points_ = (await organisers.curve(id)).map(recorded)
      if (stream.value?.id === id) points.value = merge(points_, points.value)
    } catch (error) {
      if (error instanceof Problem && error.status === 401) refused(error)
      // otherwise the live curve begins now; replay asks again
    }
  }

  function choose(chosen: Activity, wanted?: number): void {
    activity.value = chosen
    const found = streamsOf(chosen).find(({ id }) => id === wanted)
    watchStream(found ?? streamNow(chosen, serverNow()))
  }

  function watchStream(chosen: Stream | null): void {
    const trails = recallTrails(chosen?.id)
    organisationTrail.value = trails.organisation
    placeTrail.value = trails.place
    snapshot.value = null
    points.value = []
    trouble.value = ''
    stream.value = chosen
    rememberPlace()
    if (chosen) void loadCurve(chosen.id)
  }

  function leaveActivity(): void {
    activity.value = null
    watchStream(null)
    closeFeed()
    openFeed()
  }

  function rememberPlace(): void {
    const query = new URLSearchParams()
    if (activity.value) query.set('activity', String(activity.value.id))
    if (stream.value) query.set('stream', String(stream.value.id))
    history.replaceState(null, '', activity.value ? `?${query}` : location.pathname)
  }

  function restorePlace(): void {
    const query = new URLSearchParams(location.search)
    const wanted = Number(query.get('activity'))
    const found = activities.value.find(({ id }) => id === wanted)
    const current = activities.value.filter((one) => phase(one, serverNow()) === 'now')
    const [only] = activities.value.length === 1 ? activities.value : current
    if (found) choose(found, Number(query.get('stream')))
    else if (only && current.length <= 1) choose(only)
  }

  async function entered(who: Organiser): Promise<void> {
    activities.value = await organisers.activities()
    organiser.value = who
    trouble.value = ''
    restorePlace()
    openFeed()
  }

  async function start(): Promise<void> {
    try {
      await entered(await organisers.me())
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 401) trouble.value = explain(error)
    } finally {
      ready.value = true
    }
  }

  function forgetOrganiser(): void {
    closeFeed()
    organiser.value = null
    activity.value = null
    stream.value = null
    snapshot.value = null
  }

  async function logOut(): Promise<void> {
    await organisers.logOut().catch(() => undefined)
    forgetOrganiser()
    trouble.value = ''
    history.replaceState(null, '', location.pathname)
  }

  onScopeDispose(closeFeed)
  void start()

  return {
    organiser, activities, activity, stream, snapshot, points, connected, ready, trouble,
    organisationTrail, placeTrail,
    logIn: async (login: string, password: string) => entered(await organisers.logIn(login, password)),
    logOut, choose, watchStream, leaveActivity, loadCurve,
  } // prettier-ignore
}

export type Wall = ReturnType<typeof useWall>
