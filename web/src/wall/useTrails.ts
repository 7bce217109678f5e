/** How far down the two trees the wall has gone, kept over a reload. */

import { ref } from 'vue'

export interface Step {
  key: number | string
  name: string
}

interface Trails {
  organisation: Step[]
  place: Step[]
}

const trailKey = (stream: number): string => `chunshui.trails.${stream}`

function kept(stream: number): Trails {
  const text = sessionStorage.getItem(trailKey(stream))
  return text ? (JSON.parse(text) as Trails) : { organisation: [], place: [] }
}

/** The way down from the roots; empty is the roots themselves. */
export function useTrails() {
  const organisation = ref<Step[]>([])
  const place = ref<Step[]>([])

  function set(trails: Trails): void {
    organisation.value = trails.organisation
    place.value = trails.place
  }

  return {
    organisation,
    place,
    save(stream: number): void {
      const trails: Trails = { organisation: organisation.value, place: place.value }
      sessionStorage.setItem(trailKey(stream), JSON.stringify(trails))
    },
    restore: (stream: number) => set(kept(stream)),
    clear: () => set({ organisation: [], place: [] }),
  }
}
