package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/magiconair/properties"

	"tandem/internal/policy"
)

// placeholder is ${provider:path:key} or ${provider:key}.
var placeholder = regexp.MustCompile(`\$\{([^}]*?):(?:([^}]*?):)?([^}]*?)\}`)

// provider looks one key up.
type provider func(path, key string) (string, error)

// keptIn is the file that a provider's placeholder is filled in from; empty for the environment.
func keptIn(class, path, key string) string {
	switch class {
	case providerPackage + "FileConfigProvider":
		return path
	case providerPackage + "DirectoryConfigProvider":
		return filepath.Join(path, key)
	}
	return ""
}

const providerPackage = "org.apache.kafka.common.config.provider."

// providerClasses are the classes that Kafka brings along.
var providerClasses = map[string]func(params map[string]string) (provider, error){
	providerPackage + "EnvVarConfigProvider":    envProvider,
	providerPackage + "FileConfigProvider":      fileProvider,
	providerPackage + "DirectoryConfigProvider": directoryProvider,
}

// wellKnown are the names under which people use the providers, to tell them what to declare.
var wellKnown = map[string]string{"env": "EnvVarConfigProvider", "file": "FileConfigProvider", "directory": "DirectoryConfigProvider", "dir": "DirectoryConfigProvider"}

// resolveProviders fills in the placeholders of all values, once, as MM2 does at its start. files are those that values came from.
func resolveProviders(entries []entry, p *problems) (files []string) {
	providers := declaredProviders(entries, p)
	all := under(entries, "")
	for i := range entries {
		e := &entries[i]
		if strings.HasPrefix(e.key, "config.providers") {
			continue
		}
		var from []string
		e.value = placeholder.ReplaceAllStringFunc(e.raw, func(text string) string {
			m := placeholder.FindStringSubmatch(text)
			lookup, declared := providers[m[1]]
			if !declared {
				warnUndeclared(*e, m[1], text, p)
				return text
			}
			if lookup == nil { // reported where it is declared
				return text
			}
			value, err := lookup(m[2], m[3])
			if err != nil {
				p.fail(e.line, e.key, "resolve %s: %v", text, err)
				return text
			}
			if !slices.Contains(from, m[1]) {
				from = append(from, m[1])
			}
			if file := keptIn(strings.TrimSpace(all["config.providers."+m[1]+".class"].raw), m[2], m[3]); file != "" && !slices.Contains(files, file) {
				files = append(files, file)
			}
			return value
		})
		e.providers = strings.Join(from, ", ")
	}
	return files
}

func warnUndeclared(e entry, name, text string, p *problems) {
	class, known := wellKnown[name]
	if !known {
		return
	}
	p.warn(Warning{Line: e.line, Key: e.key, Message: fmt.Sprintf("%s is taken literally, because no provider %s is declared; add: config.providers = %s and config.providers.%s.class = %s%s", text, name, name, name, providerPackage, class)})
}

func declaredProviders(entries []entry, p *problems) map[string]provider {
	found := map[string]provider{}
	at := func(key string) (entry, bool) {
		i := slices.IndexFunc(entries, func(e entry) bool { return e.key == key })
		if i < 0 {
			return entry{}, false
		}
		return entries[i], true
	}
	list, ok := at("config.providers")
	if !ok {
		return found
	}
	names, _ := splitList(list.raw)
	for _, name := range names {
		found[name] = nil
		class, ok := at("config.providers." + name + ".class")
		if !ok {
			p.fail(list.line, list.key, "provider %s has no class; add config.providers.%s.class", name, name)
			continue
		}
		build, ok := providerClasses[strings.TrimSpace(class.raw)]
		if !ok {
			p.bad(class, "is not available; allowed: EnvVarConfigProvider, FileConfigProvider and DirectoryConfigProvider of %s*", providerPackage)
			continue
		}
		params := map[string]string{}
		prefix := "config.providers." + name + ".param."
		for _, e := range entries {
			if param, ok := strings.CutPrefix(e.key, prefix); ok {
				params[param] = e.raw
			}
		}
		lookup, err := build(params)
		if err != nil {
			p.fail(class.line, class.key, "%v", err)
		}
		found[name] = lookup
	}
	return found
}

func envProvider(params map[string]string) (provider, error) {
	allowed := func(string) bool { return true }
	if pattern := params["allowlist.pattern"]; pattern != "" {
		f, err := policy.NewFilter([]string{pattern}, nil)
		if err != nil {
			return nil, err
		}
		allowed = f.Accepts
	}
	return func(path, key string) (string, error) {
		if path != "" {
			return "", fmt.Errorf("environment variables have no path; write ${env:NAME}")
		}
		value, ok := os.LookupEnv(key)
		switch {
		case !allowed(key):
			return "", fmt.Errorf("the provider's allowlist.pattern does not allow environment variable %s", key)
		case !ok:
			return "", fmt.Errorf("environment variable %s is not set", key)
		}
		return value, nil
	}, nil
}

func fileProvider(params map[string]string) (provider, error) {
	return func(path, key string) (string, error) {
		data, err := readAllowed(params, path)
		if err != nil {
			return "", err
		}
		loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
		loaded, err := loader.LoadBytes(data)
		if err != nil {
			return "", fmt.Errorf("%s is not a properties file", path) // the library's text may quote the file
		}
		value, ok := loaded.Get(key)
		if !ok {
			return "", fmt.Errorf("%s has no key %s", path, key)
		}
		return value, nil
	}, nil
}

// directoryProvider reads ${dir:/path:file}: the whole file is the value.
func directoryProvider(params map[string]string) (provider, error) {
	return func(path, key string) (string, error) {
		if key != filepath.Base(key) {
			return "", fmt.Errorf("%q is not the name of a file in %s", key, path)
		}
		data, err := readAllowed(params, filepath.Join(path, key))
		return string(data), err
	}, nil
}

// readAllowed keeps to the provider's param.allowed.paths.
func readAllowed(params map[string]string, path string) ([]byte, error) {
	if allowed, _ := splitList(params["allowed.paths"]); len(allowed) > 0 {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		inside := slices.ContainsFunc(allowed, func(root string) bool {
			relative, err := filepath.Rel(root, absolute)
			return err == nil && relative != ".." && !strings.HasPrefix(relative, "../")
		})
		if !inside {
			return nil, fmt.Errorf("%s is outside of the provider's allowed.paths", path)
		}
	}
	return os.ReadFile(path)
}
