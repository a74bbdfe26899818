# The image of Dockerfile, from what 'make image' has put into bin/image.
FROM scratch
COPY . /
VOLUME /var/lib/mbbgp
EXPOSE 179/tcp 4711/tcp
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/usr/bin/mbbgp", "show", "vnis"]
ENTRYPOINT ["/usr/bin/mbbgp"]
CMD ["run"]
