/**
 * What the browser keeps: for good, or for this visit only. A browser that keeps nothing (private mode, full) still
 * works as long as the page is open.
 */

class Shelf {
  private readonly memory = new Map<string, string>()

  constructor(private readonly store: () => Storage) {}

  recall(key: string): string | null {
    try {
      return this.memory.get(key) ?? this.store().getItem(key)
    } catch {
      return null
    }
  }

  remember(key: string, value: string): void {
    try {
      this.store().setItem(key, value)
      this.memory.delete(key)
    } catch {
      this.memory.set(key, value)
    }
  }

  forget(key: string): void {
    this.memory.delete(key)
    try {
      this.store().removeItem(key)
    } catch {
      // nothing was kept
    }
  }

  /** The keys that begin with `prefix`. */
  keys(prefix: string): string[] {
    const kept = [...this.memory.keys()]
    try {
      kept.push(...Object.keys(this.store()))
    } catch {
      // nothing was kept
    }
    return [...new Set(kept)].filter((key) => key.startsWith(prefix))
  }
}

/** Kept until it is forgotten. */
export const shelf = new Shelf(() => localStorage)
/** Kept until the tab is closed; outlives a reload. */
export const visit = new Shelf(() => sessionStorage)

export const recall = (key: string): string | null => shelf.recall(key)
export const remember = (key: string, value: string): void => shelf.remember(key, value)
export const forget = (key: string): void => shelf.forget(key)
