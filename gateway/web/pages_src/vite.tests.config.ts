import { readdirSync } from "node:fs";
import { defineConfig } from "vite";

// The tests run in Node, on what a browser would get.
export default defineConfig({
  build: {
    ssr: true,
    outDir: ".tests",
    emptyOutDir: true,
    target: "es2022",
    minify: false,
    rollupOptions: { input: readdirSync("tests").filter((name) => name.endsWith(".test.ts")).map((name) => `tests/${name}`) },
  },
});
