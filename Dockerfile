# The chat in an image that holds nothing else. `docker build -t chat-room .`, for the architecture of the machine it runs on.
#
# With the embedded stream in memory, and with one that is kept over restarts:
#
#   docker run --stop-timeout 60 -p 8080:8080 chat-room
#   docker run --stop-timeout 60 -p 8080:8080 -v chat:/data -e CHAT_ROOM_EMBEDDED_DATA=/data chat-room
#
# A stop sends viewers away evenly, and takes up to a minute by default; Docker by itself gives it 10 s.
# Set things by environment variables rather than by flags: the health check then sees them, too.

FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cp "$(bash packaging/static.sh)" /chat-room && mkdir /data

FROM scratch
LABEL org.opencontainers.image.title="chat-room" \
      org.opencontainers.image.description="Self-hosted live chat over an Amazon Kinesis stream" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /chat-room /chat-room
# For a volume: it takes over whose the folder is.
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
ENV CHAT_ROOM_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/chat-room", "health"]
ENTRYPOINT ["/chat-room"]
