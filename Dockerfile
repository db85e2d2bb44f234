# Berth's container image. There is no step for one architecture: the native modules bring prebuilt binaries for
# amd64 and arm64, and Node runs the TypeScript sources as they are.
ARG NODE_IMAGE=docker.io/library/node:24-bookworm-slim

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /usr/local/lib/berth
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM ${NODE_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Berth" \
      org.opencontainers.image.description="A self-hostable private container registry: one process, one folder." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# Not below a node_modules folder, where Node strips no types.
COPY --from=dependencies /usr/local/lib/berth/node_modules /usr/local/lib/berth/node_modules
COPY package.json /usr/local/lib/berth/
COPY config /usr/local/lib/berth/config
COPY migrations /usr/local/lib/berth/migrations
COPY src /usr/local/lib/berth/src

# Platforms that pick a user id of their own run it with group 0, so the folder belongs to that group.
RUN ln -s ../lib/berth/src/main.ts /usr/local/bin/berth \
 && chmod -R u=rwX,go=rX /usr/local/lib/berth \
 && chmod 0755 /usr/local/lib/berth/src/main.ts \
 && mkdir -p /var/lib/berth \
 && chown 10001:0 /var/lib/berth \
 && chmod 0770 /var/lib/berth \
 && install -d -o 10001 -g 0 /usr/local/lib/berth/node_modules/.cache

# What a first start compiles is kept in the image: containers have nowhere to keep it, and each health check would compile anew.
USER 10001:0
RUN berth serve --address 127.0.0.1 --port 0 --data /tmp/first --open > /dev/null & server=$! \
 && until berth status --data /tmp/first > /dev/null 2>&1; do kill -0 $server && sleep 1 || exit 1; done \
 && kill -TERM $server && wait $server \
 && rm -rf /tmp/first
USER 0:0
RUN chown -R 0:0 /usr/local/lib/berth/node_modules/.cache \
 && chmod -R u=rwX,go=rX /usr/local/lib/berth/node_modules/.cache

# The port is there to be published: nobody gets in without signing in, whatever address is set later.
ENV NODE_ENV=production \
    BERTH_DATA=/var/lib/berth \
    BERTH_HTTP_ADDRESS=0.0.0.0 \
    BERTH_ACCESS_MODE=token

USER 10001:0
WORKDIR /
VOLUME /var/lib/berth
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["berth", "status", "--health"]
ENTRYPOINT ["berth"]
CMD ["serve"]
