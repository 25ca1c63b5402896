"""python -m services.anomaly"""

from services.anomaly.app import create_app
from services.anomaly.settings import AnomalySettings
from shared.service import serve

if __name__ == "__main__":
    settings = AnomalySettings()
    serve("anomaly", settings, create_app(settings))
