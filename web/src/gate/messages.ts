/** The texts of the code on site. */

export const zh = {
  gateTitle: '春水 · 现场码',
  pairGate: '配对现场设备',
  pairGateHow: '在管理页登记一台设备，把得到的配对码输入这里。配对码十分钟内有效，只能用一次。',
  pairingCode: '配对码',
  pairNow: '配对',
  gateEnded: '此设备已被撤销，或已有另一台设备配对，不再显示签到码。',
  gateNeedsTls: '此页只能通过 HTTPS 打开：签到密钥须由浏览器保管。',
  gateQr: '现场签到二维码，每十五秒更换',
  gateHow: '微信扫一扫，现场签到',
  gateOver: '签到已结束',
  gateNeverReached: '连不上服务器，正在重试…',
  gateUntil: '签到至 {time}',
  gateOffline: '网络中断，二维码仍然有效',
  gateOfflineWhy: '自 {since} 起；有效至 {until}',
  clockSlow: '本机时钟慢 {n} 秒；二维码按服务器时间',
  clockFast: '本机时钟快 {n} 秒；二维码按服务器时间',
} as const

export const en: Record<keyof typeof zh, string> = {
  gateTitle: 'Chunshui · code on site',
  pairGate: 'Pair a device on site',
  pairGateHow: 'Register a device on the console and enter its pairing code here. It is good once, for ten minutes.',
  pairingCode: 'Pairing code',
  pairNow: 'Pair',
  gateEnded: 'This device was revoked, or another was paired in its place; it shows no codes any more.',
  gateNeedsTls: 'This page opens over HTTPS only: the browser has to guard the key.',
  gateQr: 'QR code to check in on site, changing every fifteen seconds',
  gateHow: 'Scan to check in on site',
  gateOver: 'Check-in has closed',
  gateNeverReached: 'The server cannot be reached, trying again…',
  gateUntil: 'Check-in until {time}',
  gateOffline: 'Offline; the codes stay valid',
  gateOfflineWhy: 'since {since}, valid until {until}',
  clockSlow: 'This device’s clock is {n} s slow; the codes follow the server’s',
  clockFast: 'This device’s clock is {n} s fast; the codes follow the server’s',
}
