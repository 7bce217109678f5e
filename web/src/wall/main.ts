import { createApp } from 'vue'
import '../styles/fonts'
import '../styles/base.css'
import '../styles/wall.css'
import WallPage from './WallPage.vue'

createApp(WallPage).mount('#app')
