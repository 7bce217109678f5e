/** The curve's drawing: ECharts with only what the curve needs, no inline styles (the page's policy). */

import { LineChart } from 'echarts/charts'
import { GridComponent, MarkAreaComponent, MarkLineComponent, TooltipComponent } from 'echarts/components'
import { init, use, type ECharts, type EChartsCoreOption } from 'echarts/core'
import { CanvasRenderer } from 'echarts/renderers'
import { clockTime, number, shortTime, t } from '../language'
import { doubts, line, within, type Line, type Point, type Span } from './curve'

use([LineChart, GridComponent, MarkAreaComponent, MarkLineComponent, TooltipComponent, CanvasRenderer])

export type Chart = ECharts
export const draw = (element: HTMLElement): Chart => init(element, null, { renderer: 'canvas' })

interface Palette {
  ink: string
  muted: string
  hairline: string
  water: string
  waterSoft: string
  leaf: string
  amber: string
  paper: string
  font: string
  size: number
}

/** The page's own colours, so that light and dark follow the style sheet. */
export function palette(element: HTMLElement): Palette {
  const style = getComputedStyle(element)
  const read = (name: string): string => style.getPropertyValue(name).trim()
  return {
    ink: read('--ink'),
    muted: read('--muted'),
    hairline: read('--hairline'),
    water: read('--water'),
    waterSoft: read('--water-soft'),
    leaf: read('--leaf'),
    amber: read('--amber-soft'),
    paper: read('--panel'),
    font: style.fontFamily,
    size: parseFloat(style.fontSize),
  }
}

export interface View {
  points: readonly Point[]
  outages: readonly Span[]
  /** Replay: what lies after this moment is drawn faintly. Null shows everything as live. */
  cursor: number | null
  zone: string
  spanMs: number
}

/** Lines of the grid closer than this are hard to read. */
const ROW_REMS = 2.6

export function option(view: View, colours: Palette, height: number): EChartsCoreOption {
  const { points, outages, cursor, zone } = view
  const seen = cursor === null ? points : points.filter((point) => point.t <= cursor)
  return {
    animation: false,
    textStyle: { fontFamily: colours.font, fontSize: colours.size },
    grid: { left: 6, right: 14, top: 10, bottom: 4, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    tooltip: tooltip(zone, colours),
    xAxis: timeAxis(view, colours),
    yAxis: peopleAxis(colours, height),
    series: [
      plain(t('joined'), line(seen, 'joined'), colours.muted, 'dashed'),
      plain(t('checkedIn'), line(seen, 'checkedIn'), colours.leaf, 'solid'),
      online(line(seen, 'online'), [...doubts(points), ...within(outages, points)], cursor, colours),
      ...(cursor === null ? [] : [faint(line(points, 'online'), colours)]),
    ],
  }
}

function timeAxis({ points, zone, spanMs }: View, colours: Palette): object {
  const label = spanMs > 20 * 60_000 ? shortTime : clockTime
  return {
    type: 'time',
    min: points[0]?.t,
    max: points[points.length - 1]?.t,
    splitNumber: 5,
    axisLine: { lineStyle: { color: colours.hairline } },
    axisTick: { show: false },
    axisLabel: { ...axisText(colours), hideOverlap: true, formatter: (value: number) => label(value, zone) },
  }
}

const peopleAxis = (colours: Palette, height: number): object => ({
  type: 'value',
  minInterval: 1,
  splitNumber: Math.max(1, Math.min(4, Math.floor(height / (ROW_REMS * colours.size)))),
  axisLabel: { ...axisText(colours), formatter: (value: number) => number(value) },
  splitLine: { lineStyle: { color: colours.hairline, width: 1 } },
})

const axisText = (colours: Palette): object => ({ color: colours.muted, fontSize: colours.size * 0.9 })

function plain(name: string, data: Line, color: string, type: string): object {
  return { ...base(name, data, color), z: 4, lineStyle: { color, width: 1.5, type } } // above the online line
}

function online(data: Line, unsure: readonly Span[], cursor: number | null, colours: Palette): object {
  const spans = unsure.map(([from, to]) => [{ xAxis: from }, { xAxis: Math.max(to, from + 1_000) }])
  return {
    ...base(t('online'), data, colours.water),
    z: 3,
    lineStyle: { color: colours.water, width: 3 },
    areaStyle: { color: colours.waterSoft },
    markArea: { silent: true, itemStyle: { color: colours.amber }, data: spans },
    markLine: {
      silent: true,
      symbol: 'none',
      label: { show: false },
      lineStyle: { color: colours.ink, type: 'solid' },
      data: cursor === null ? [] : [{ xAxis: cursor }],
    },
  }
}

const faint = (data: Line, colours: Palette): object => ({
  ...base('', data, colours.water),
  lineStyle: { color: colours.water, width: 1, opacity: 0.45 },
  tooltip: { show: false },
})

function base(name: string, data: Line, color: string): object {
  return {
    name,
    type: 'line',
    data,
    showSymbol: false,
    connectNulls: false,
    itemStyle: { color },
    emphasis: { disabled: true },
  }
}

interface Hovered {
  seriesName: string
  value: [number, number | null]
}

function tooltip(zone: string, colours: Palette): object {
  return {
    trigger: 'axis',
    renderMode: 'richText', // the HTML kind writes inline styles
    backgroundColor: colours.paper,
    borderColor: colours.hairline,
    textStyle: { color: colours.ink, fontSize: colours.size * 0.9 },
    axisPointer: { lineStyle: { color: colours.muted } },
    formatter: (rows: Hovered[]) => {
      const named = rows.filter(({ seriesName, value }) => seriesName && value[1] !== null).reverse()
      const time = rows[0] ? clockTime(rows[0].value[0], zone) : ''
      return [time, ...named.map(({ seriesName, value }) => `${seriesName}  ${number(value[1])}`)].join('\n')
    },
  }
}
