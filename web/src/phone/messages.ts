/** The phone page's texts about leave, make-ups and codes on site. */

export const zh = {
  checkedInOnSite: '现场已签到',
  undoCheckIn: '签错了，撤销',
  checkInUndone: '已撤销签到，可以重新签到。',
  scanAgain: '请再扫一次现场屏幕上的二维码。',
  cancel: '取消',
  askLeave: '来不了？向支部请假',
  leaveReason: '请假原因',
  sendLeave: '提交',
  withdrawLeave: '取消请假',
  my_leave_asked: '已申请请假，等待支部答复',
  my_leave_approved: '支部已准假',
  my_leave_declined: '支部未准假',
  madeUpMine: '已补学',
  makeUpOpen: '可以补学',
  makeUpHow: '{day}前观看回放或参加别处的活动，由支部登记。',
  makeUpWatch: '去看回放',
} as const

export const en: Record<keyof typeof zh, string> = {
  checkedInOnSite: 'Checked in on site',
  undoCheckIn: 'A mistake? Take it back',
  checkInUndone: 'Taken back; you can check in again.',
  scanAgain: 'Please scan the code on the wall once more.',
  cancel: 'Cancel',
  askLeave: 'Cannot come? Ask for leave',
  leaveReason: 'Why you cannot come',
  sendLeave: 'Send',
  withdrawLeave: 'Withdraw',
  my_leave_asked: 'Leave asked for; your branch will answer',
  my_leave_approved: 'Your branch approved your leave',
  my_leave_declined: 'Your branch declined your leave',
  madeUpMine: 'Made up',
  makeUpOpen: 'You can make up for it',
  makeUpHow: 'Watch the replay or attend elsewhere by {day}; your branch records it.',
  makeUpWatch: 'Watch the replay',
}
