package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// image is the project's image, built by the project's Dockerfile around binaries that are there already. No network:
// the stage's base is made from Debian packages here, and given to the Dockerfile as its argument BASE.
type image struct{ tag, out, dockerfile, target, env string }

const baseImage = "localhost/raftduck-base:bookworm"

func (i image) build(binaries []string) error {
	if i.tag == "" || i.out == "" || len(binaries) == 0 {
		return errors.New("--tag, --out and the binaries are needed")
	}
	if _, err := buildah("rm", "--all"); err != nil { // what an interrupted run left
		return err
	}
	if err := makeBase(); err != nil {
		return err
	}
	context, err := os.MkdirTemp("", "raftduck-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(context)
	if err := os.Mkdir(filepath.Join(context, "bin"), 0o755); err != nil {
		return err
	}
	for _, binary := range binaries {
		if err := run("cp", "--reflink=auto", binary, filepath.Join(context, "bin")); err != nil {
			return err
		}
	}
	if err := run("cp", filepath.Join(filepath.Dir(i.dockerfile), "LICENSE"), context); err != nil {
		return err
	}
	arguments := []string{"bud", "--isolation", "chroot", "--pull-never", "--target", i.target,
		"--build-arg", "BINARIES=prebuilt", "--build-arg", "BASE=" + baseImage,
		"--file", i.dockerfile, "--tag", i.tag}
	if i.env != "" {
		arguments = append(arguments, "--env", i.env)
	}
	if _, err := buildah(append(arguments, context)...); err != nil {
		return err
	}
	// The archive has all; of the storage, only the base is worth keeping.
	defer buildah("rmi", "--prune", "--force")
	defer buildah("rmi", "--force", i.tag)
	return replace(i.out, func(new string) error {
		_, err := buildah("push", i.tag, "docker-archive:"+new+":"+i.tag)
		return err
	})
}

// makeBase makes what the Dockerfile's stage `system` makes where Debian's images can be pulled.
func makeBase() error {
	if _, err := buildah("inspect", "--type", "image", baseImage); err == nil {
		return nil
	}
	if err := os.MkdirAll(cache(), 0o755); err != nil {
		return err
	}
	system := cache("base.tar")
	defer os.Remove(system)
	if err := run("mmdebstrap", "--quiet", "--variant=apt", "--include=ca-certificates,libstdc++6",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*", "bookworm", system); err != nil {
		return err
	}
	container, err := buildah("from", "scratch")
	if err != nil {
		return err
	}
	container = strings.TrimSpace(container)
	defer buildah("rm", container)
	if _, err := buildah("add", "--quiet", container, system, "/"); err != nil {
		return err
	}
	_, err = buildah("commit", "--quiet", container, baseImage)
	return err
}

func buildah(arguments ...string) (string, error) {
	storage := []string{"--root", cache("images"), "--runroot", cache("images/run"), "--storage-driver", "vfs"}
	return outputOf("buildah", append(storage, arguments...)...)
}
