/** Replay of a recorded curve: a moment, moved by hand or by playing; a whole day takes half a minute. */

import { computed, onScopeDispose, ref, shallowRef, type Ref } from 'vue'
import { GAP_MS, type Point } from './curve'

const TICK_MS = 100
const WHOLE_MS = 30_000

/** The reading that holds at `moment`; null where nothing was read. */
export function holdingAt(points: readonly Point[], moment: number): Point | null {
  let [low, high] = [0, points.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((points[middle]?.t ?? Infinity) <= moment) low = middle + 1
    else high = middle
  }
  const found = points[low - 1]
  return found && moment - found.t <= GAP_MS ? found : null
}

export function useReplay(points: Readonly<Ref<readonly Point[]>>) {
  /** What was recorded when replay was opened: the slider does not move under the finger. */
  const recording = shallowRef<readonly Point[]>([])
  const active = ref(false)
  const playing = ref(false)
  const elapsed = ref(0)
  let timer: ReturnType<typeof setInterval> | null = null

  const first = computed(() => recording.value[0]?.t ?? 0)
  const length = computed(() => (recording.value[recording.value.length - 1]?.t ?? 0) - first.value)
  const moment = computed(() => first.value + elapsed.value)
  const point = computed(() => (active.value ? holdingAt(recording.value, moment.value) : null))

  function pause(): void {
    playing.value = false
    if (timer) clearInterval(timer)
    timer = null
  }

  function advance(): void {
    const speed = Math.max(1, length.value / WHOLE_MS) // never slower than life
    elapsed.value = Math.min(length.value, elapsed.value + speed * TICK_MS)
    if (elapsed.value >= length.value) pause()
  }

  function play(): void {
    if (elapsed.value >= length.value) elapsed.value = 0
    playing.value = true
    timer ??= setInterval(advance, TICK_MS)
  }

  function open(): void {
    recording.value = points.value
    elapsed.value = 0
    active.value = true
    if (recording.value.length > 1) play()
  }

  function close(): void {
    pause()
    active.value = false
  }

  function seek(to: number): void {
    pause()
    elapsed.value = to
  }

  onScopeDispose(pause)
  return { active, playing, elapsed, length, moment, point, recording, open, close, play, pause, seek }
}
