package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

const pauseImage = "raftduck.test/pause:1"

// pause holds a pod's namespaces, and is the init of a pod that shares its process namespace.
func pause() error {
	signal.Ignore(syscall.SIGCHLD) // the kernel then buries orphans itself
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	<-end
	return nil
}

// importPauseImage gives this node an image around this very program.
func importPauseImage() error {
	archive, err := pauseArchive()
	if err != nil {
		return err
	}
	command := exec.Command("ctr", "--namespace", "k8s.io", "images", "import", "-")
	command.Stdin = bytes.NewReader(archive)
	_, err = output(command)
	return err
}

// pauseArchive is what `docker save` would write.
func pauseArchive() ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return nil, err
	}
	layer, err := pack(file{"pause", program})
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": []string{"/pause", "pause"}},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal([]map[string]any{
		{"Config": "config.json", "RepoTags": []string{pauseImage}, "Layers": []string{"layer.tar"}},
	})
	if err != nil {
		return nil, err
	}
	return pack(file{"manifest.json", manifest}, file{"config.json", config}, file{"layer.tar", layer})
}

type file struct {
	name    string
	content []byte
}

func pack(files ...file) ([]byte, error) {
	var archive bytes.Buffer
	to := tar.NewWriter(&archive)
	for _, f := range files {
		if err := to.WriteHeader(&tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.content))}); err != nil {
			return nil, err
		}
		if _, err := to.Write(f.content); err != nil {
			return nil, err
		}
	}
	err := to.Close()
	return archive.Bytes(), err
}
