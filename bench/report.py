def write(results):
    import json
    json.dump(results, open("/tmp/wt/results.json","w"),indent=1)
