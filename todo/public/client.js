import { call, Refusal } from './api.js';
import { createApp } from './vendor/vue.js';

const MAX_CHARACTERS = 50;
const CHECK_EVERY_MS = 3000;

createApp({
  data: () => ({
    title: document.title,
    hostname: '',
    todos: [],
    text: '',
    complaint: '',
    trouble: '',
    busy: false,
    loaded: false,
  }),

  computed: {
    hint() {
      if (!this.text) {
        return '';
      }
      const left = MAX_CHARACTERS - [...this.text.trim()].length;
      return left < 0 ? `${-left} characters too many` : `${left} characters left`;
    },
    count() {
      if (!this.loaded) {
        return 'Loading…';
      }
      if (this.todos.length === 0) {
        return 'Nothing to do. Enjoy the day!';
      }
      const done = this.todos.filter((todo) => todo.done).length;
      return `${done} of ${this.todos.length} done`;
    },
  },

  async mounted() {
    await this.attempt(this.load);
    setInterval(() => this.attempt(this.check), CHECK_EVERY_MS);
  },

  methods: {
    async load() {
      ({ hostname: this.hostname } = await call('GET', 'meta'));
      this.todos = await call('GET', 'todos');
      this.loaded = true;
    },

    async add() {
      this.busy = true;
      await this.attempt(async () => {
        this.todos.push(await call('POST', 'todos', { text: this.text }));
        this.text = '';
      });
      this.busy = false;
      this.$refs.input.focus();
    },

    async tick(todo) {
      await this.attempt(async () => {
        Object.assign(todo, await call('PATCH', `todos/${todo.id}`, { done: !todo.done }));
      });
    },

    async remove(todo) {
      await this.attempt(async () => {
        await call('DELETE', `todos/${todo.id}`);
        const place = this.todos.indexOf(todo);
        this.todos.splice(place, 1);
        await this.$nextTick();
        this.focusNear(place);
      });
    },

    /** Keeps a keyboard's focus, whose button has just gone, at its place in the list. */
    focusNear(place) {
      const buttons = this.$refs.list?.querySelectorAll('button') ?? [];
      (buttons[place] ?? buttons[place - 1] ?? this.$refs.input).focus();
    },

    /** Comes back from trouble by itself. */
    async check() {
      await call('GET', 'healthz');
      if (this.trouble) {
        await this.load();
      }
    },

    /** Does something that needs the app, and tells the reader if it cannot be done. */
    async attempt(work) {
      try {
        await work();
        this.trouble = '';
      } catch (error) {
        if (!(error instanceof Refusal)) {
          throw error;
        }
        if (error.field === 'text') {
          this.complaint = error.message;
        } else {
          this.trouble = error.isOutage ? `${error.message} Trying again…` : error.message;
        }
      }
    },
  },
}).mount('#app');
