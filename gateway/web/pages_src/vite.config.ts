import { defineConfig } from "vite";

// Two pages into the Python package. Names carry the hash of their content, so they may be cached for ever; nothing is
// inlined, because the pages' policy allows no inline script, style or font.
export default defineConfig({
  base: "/",
  publicDir: false,
  build: {
    outDir: "../static",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    rollupOptions: { input: ["index.html", "console.html"] },
  },
});
