import { createApp } from 'vue'
import '../styles/fonts'
import '../styles/base.css'
import '../styles/wall.css'
import '../styles/entrance.css'
import '../styles/panels.css'
import '../styles/narrow.css'
import WallPage from './WallPage.vue'

createApp(WallPage).mount('#app')
