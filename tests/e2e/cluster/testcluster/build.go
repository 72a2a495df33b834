package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// binaries to build, each from the Go module of that name, and the other names that each goes by.
var binaries = map[string][]string{
	"coredns": nil,
	"kube": {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
		"standins"},
}

func build(source string) error {
	if err := os.MkdirAll(cache("bin"), 0o755); err != nil {
		return err
	}
	for name, links := range binaries {
		if err := buildOne(filepath.Join(source, name), name); err != nil {
			return err
		}
		for _, link := range links {
			if err := replace(cache("bin", link), func(new string) error { return os.Symlink(name, new) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func buildOne(module, name string) error {
	flags, err := linkerFlags(module)
	if err != nil {
		return err
	}
	sum, err := sourceSum(module, flags)
	if err != nil {
		return err
	}
	stamp := cache("bin", name+".sources")
	if made, err := os.ReadFile(stamp); err == nil && string(made) == sum {
		if _, err := os.Stat(cache("bin", name)); err == nil {
			return nil
		}
	}
	begun := time.Now()
	fmt.Fprintf(os.Stderr, "testcluster: building %s; minutes, the first time\n", name)
	if err := replace(cache("bin", name), func(new string) error {
		command := exec.Command("nice", "-n", "19", "go", "build", "-C", module, "-ldflags", flags, "-o", new, ".")
		command.Env = append(os.Environ(), "CGO_ENABLED=0")
		_, err := output(command)
		return err
	}); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "testcluster: built %s in %.0f s\n", name, time.Since(begun).Seconds())
	return os.WriteFile(stamp, []byte(sum), 0o644)
}

// replace makes a file beside the old one and then takes its place: the old one may be running.
func replace(path string, make func(new string) error) error {
	new := fmt.Sprintf("%s.%d", path, os.Getpid())
	defer os.Remove(new)
	if err := make(new); err != nil {
		return err
	}
	return os.Rename(new, path)
}

var kubernetesVersion = regexp.MustCompile(`k8s\.io/kubernetes v(\d+)\.(\d+)\.\d+`)

// linkerFlags tells Kubernetes its own version: its components compare theirs.
func linkerFlags(module string) (string, error) {
	requires, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return "", err
	}
	version := kubernetesVersion.FindSubmatch(requires)
	if version == nil {
		return "-s -w", nil
	}
	const variable = "-X k8s.io/component-base/version."
	return fmt.Sprintf("-s -w %[1]sgitVersion=%[2]s %[1]sgitMajor=%[3]s %[1]sgitMinor=%[4]s",
		variable, version[0][len("k8s.io/kubernetes "):], version[1], version[2]), nil
}

func sourceSum(module, flags string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), flags)
	err := filepath.WalkDir(module, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintln(sum, strings.TrimPrefix(path, module), len(content))
		sum.Write(content)
		return err
	})
	return fmt.Sprintf("%x\n", sum.Sum(nil)), err
}
