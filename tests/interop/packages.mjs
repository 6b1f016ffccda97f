// npm packages lie in the build folder, where `import` does not look for them.
import { createRequire } from 'node:module';

export const load = createRequire(`${process.env.INTEROP_PACKAGES}/`);
