import { createApp } from 'vue'
import '../styles/fonts'
import '../styles/base.css'
import '../styles/entrance.css'
import '../styles/phone.css'
import '../styles/fields.css'
import '../styles/desk.css'
import '../styles/narrow.css'
import { keepForOffline } from '../offline'
import DeskPage from './DeskPage.vue'

createApp(DeskPage).mount('#app')
keepForOffline('/desk/')
