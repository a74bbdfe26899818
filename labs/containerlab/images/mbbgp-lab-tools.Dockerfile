# FRR and what one looks at a network with, of Debian packages and nothing else.
# 'build' beside this file makes rootfs.tar.
FROM scratch
ADD rootfs.tar /
COPY start /usr/local/bin/start
ENTRYPOINT ["/usr/local/bin/start"]
