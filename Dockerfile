# A small image: the built program, what it needs to run, and no root.
#
#   docker build -t node-instances-communication .
#   docker run --init -e REDISURL=redis://redis.example node-instances-communication
#   docker run --init --rm -e REDISURL=redis://redis.example node-instances-communication getErrors
#
# docs/deployment.md has the rest: the board, tasks of your own, several instances.

ARG NODE=24-alpine

FROM node:${NODE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Only what the program loads. npm keeps a development dependency that a dependency also names as an optional peer (TypeScript,
# pg, bullmq-otel) unless optional packages are left out as well.
RUN npm ci --omit=dev --omit=optional --omit=peer --ignore-scripts

FROM node:${NODE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# No package here needs its install script, and what does not run can do no harm.
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build

FROM node:${NODE}
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
COPY examples examples
COPY deploy/healthcheck.mjs deploy/
# The image's user "node", by number: Kubernetes' runAsNonRoot does not look names up. Nothing here belongs to it.
USER 1000:1000
# The board listens on the container's own loopback until BOARD_HOST and BOARD_PASSWORD are set, and is healthy there.
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["node", "deploy/healthcheck.mjs", "/healthz"]
# As a list, without a shell: signals reach Node.js. --init above lets it not be process 1, which a signal does not
# end before there is a handler for it, and which inherits the children that a task leaves behind.
ENTRYPOINT ["node", "dist/main.js"]
CMD ["start"]
