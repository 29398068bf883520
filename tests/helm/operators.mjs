// stdin: a JSON list of objects; stdout: a JSON list of faults by the published schemas of their kinds.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const MODELS = join(process.env.TOOLS, "node_modules", "@kubernetes-models");
const KEDA = "keda/keda.sh/v1alpha1";
const PROMETHEUS = "prometheus-operator/monitoring.coreos.com/v1";
const KINDS = { ScaledObject: KEDA, PodMonitor: PROMETHEUS, ServiceMonitor: PROMETHEUS, PrometheusRule: PROMETHEUS };

const faults = [];
for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    const { [object.kind]: Model } = await import(join(MODELS, KINDS[object.kind], `${object.kind}.js`));
    const model = new Model(object);
    if (new Model({}).apiVersion !== object.apiVersion) throw new Error(`apiVersion ${object.apiVersion}`);
    model.validate();
  } catch (error) {
    faults.push(`${object.kind}/${object.metadata.name}: ${error.message}`);
  }
}
process.stdout.write(JSON.stringify(faults));
