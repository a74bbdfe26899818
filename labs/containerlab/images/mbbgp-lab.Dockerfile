# The program from the project's own image ('make image'), with the tools beside
# it that labs look at it with.
FROM mbbgp-lab-tools
COPY --from=mbbgp /usr/bin/mbbgp /usr/bin/mbbgp
ENTRYPOINT ["/usr/bin/mbbgp"]
